"""Mien: one portrait photo becomes a 3D Gaussian head that makes anyone's expressions."""
