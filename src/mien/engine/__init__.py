"""Real-time runtimes over the networks and rasterisers: sessions, and baked avatars."""
