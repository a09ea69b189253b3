SELECT MEDIAN(2019 - year_of_birth) AS median_age FROM person
