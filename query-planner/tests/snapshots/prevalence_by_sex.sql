SELECT gender_concept_id, COUNT(*) AS records FROM person GROUP BY gender_concept_id ORDER BY gender_concept_id
