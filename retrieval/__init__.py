"""The style library: pictures, their CLIP vectors, and the search for the nearest one."""
