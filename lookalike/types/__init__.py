"""Values that pass between the parts. Nothing here does input or output."""
