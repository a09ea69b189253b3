SELECT APPROX_COUNT_DISTINCT(person_id) AS patients FROM person
