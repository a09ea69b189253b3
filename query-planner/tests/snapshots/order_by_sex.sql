SELECT gender_concept_id, MEDIAN(2019 - year_of_birth) AS age, MAX(birth_date) FILTER (WHERE year_of_birth > 1950) AS latest FROM person GROUP BY gender_concept_id
