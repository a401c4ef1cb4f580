"""What is on the disk: results, records of what was begun, and locks, and when each of them is synced."""
