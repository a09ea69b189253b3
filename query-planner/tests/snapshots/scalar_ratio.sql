SELECT gender_concept_id, CAST(COUNT(*) AS DOUBLE) / (SELECT COUNT(*) FROM person) AS share FROM person GROUP BY gender_concept_id
