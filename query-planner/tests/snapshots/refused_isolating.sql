SELECT COUNT(*) FROM condition_occurrence WHERE person_id IN (5, 7)
