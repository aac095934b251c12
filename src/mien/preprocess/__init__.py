"""Image or video → `Portrait` or `Take`: find, crop, pose, matte. Knows nothing of avatars."""
