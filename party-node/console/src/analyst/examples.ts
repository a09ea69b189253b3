/** Questions to start from, over the OMOP tables. Titles are SQL comments, so they need no translation of their own. */
export const EXAMPLES: [string, string][] = [
  [
    "patients",
    "SELECT COUNT(DISTINCT person_id) AS patients\nFROM condition_occurrence\nWHERE condition_concept_id = 192671",
  ],
  [
    "by condition",
    "SELECT condition_concept_id, COUNT(*) AS n\nFROM condition_occurrence\nWHERE condition_concept_id IN (40481087, 4112343, 260139, 372328, 80180, 378001)\nGROUP BY condition_concept_id\nORDER BY n DESC",
  ],
  [
    "by year of birth",
    "SELECT CAST(FLOOR(year_of_birth / 10) * 10 AS INT) AS birth_decade, COUNT(*) AS n\nFROM person\nGROUP BY birth_decade\nORDER BY birth_decade",
  ],
  [
    "mean age",
    "SELECT gender_concept_id, COUNT(*) AS n, AVG(2019 - year_of_birth) AS mean_age\nFROM person\nGROUP BY gender_concept_id",
  ],
];
