"""From class scores to pixels: upsampling, edge refinement, region cleanup."""
