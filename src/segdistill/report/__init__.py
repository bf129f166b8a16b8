"""The self-contained page that shows what a fit found."""
