"""One file per revision. What a released revision does is never changed."""
