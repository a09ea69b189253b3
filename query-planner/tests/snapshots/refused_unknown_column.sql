SELECT COUNT(*) FROM person WHERE gender_concept = 8507
