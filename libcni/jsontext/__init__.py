"""Strict JSON whose text is kept: decoded with the place of each mistake, encoded, and members as they were written."""
