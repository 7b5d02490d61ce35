"""What each figure is measured against: the least that a program could do."""
