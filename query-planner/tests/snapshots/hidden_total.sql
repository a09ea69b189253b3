SELECT gender_concept_id AS g, COUNT(*) AS n FROM person GROUP BY gender_concept_id UNION ALL SELECT NULL, COUNT(*) FROM person
