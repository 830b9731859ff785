"""Lines, shares and bounds as data: pure, time is an argument."""
