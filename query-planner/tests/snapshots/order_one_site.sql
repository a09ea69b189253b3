SELECT MAX(year_of_birth) AS youngest FROM hospital_B.person
