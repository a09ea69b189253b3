SELECT person_id FROM hospital_A.person
