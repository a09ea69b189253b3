SELECT COUNT(*) FROM person p JOIN condition_occurrence c ON p.person_id = c.person_id
