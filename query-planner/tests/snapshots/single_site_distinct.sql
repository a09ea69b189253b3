SELECT c.condition_concept_id, COUNT(DISTINCT c.person_id) AS patients, COUNT(*) AS n FROM hospital_B.condition_occurrence c GROUP BY 1 ORDER BY 2 DESC LIMIT 10
