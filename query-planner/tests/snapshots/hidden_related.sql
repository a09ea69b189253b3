SELECT year_of_birth AS k, COUNT(*) AS n FROM person GROUP BY 1 UNION ALL SELECT gender_concept_id, COUNT(*) FROM person GROUP BY 1
