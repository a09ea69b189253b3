SELECT gender_concept_id, COALESCE(MEDIAN(2019 - year_of_birth), 0) AS age, MAX(birth_date) AS latest FROM person GROUP BY gender_concept_id
