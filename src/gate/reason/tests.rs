use super::*;

#[test]
fn the_document_has_every_code_with_its_data() {
    let document = include_str!("../../docs/gates.md");
    let (_, table) = document.split_once("| code | what was found | data |").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), Finding::ALL.len());
    for (code, fields) in Finding::ALL {
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{code}` | "))).unwrap();
        let (_, data) = row.trim_end_matches(" |").rsplit_once(" | ").unwrap();
        let named = fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
        assert!(data == named || (fields.is_empty() && !data.is_empty()), "{code}: {data} for {named}");
    }
}
