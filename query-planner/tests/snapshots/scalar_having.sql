SELECT a.g, a.n FROM (SELECT gender_concept_id AS g, COUNT(*) AS n FROM person GROUP BY 1) a WHERE a.n > (SELECT COUNT(*) FROM hospital_B.person) ORDER BY a.n DESC
