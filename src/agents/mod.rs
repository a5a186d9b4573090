//! One folder per agent: its prompt, tools, outcome types, extraction schema and scoring. Stands on `conversation`.
