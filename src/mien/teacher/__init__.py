"""The teacher: a 2D animator, expressive but slow, whose pictures teach the fast 3D student.

`network` denoises, `flow` samples, `animator` is what the distillation asks for pictures.
"""
