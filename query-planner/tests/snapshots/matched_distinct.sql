SELECT COUNT(DISTINCT person_id) AS patients FROM person
