SELECT CASE WHEN 2019 - year_of_birth < 40 THEN 'young' WHEN 2019 - year_of_birth < 65 THEN 'middle' END AS band, gender_concept_id, COUNT(*) AS n FROM person GROUP BY 1, 2
