"""The straight path: one function per arrow."""
