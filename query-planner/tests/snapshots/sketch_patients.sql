SELECT gender_concept_id, COUNT(*) AS n, APPROX_COUNT_DISTINCT(person_id) AS patients,
  APPROX_DISTINCT(person_id) FILTER (WHERE year_of_birth < 1950) AS old
FROM person WHERE year_of_birth > 1900 GROUP BY gender_concept_id
