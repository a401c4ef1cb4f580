"""Running plugins: lookup, environment, the seam to processes, and delegation."""
