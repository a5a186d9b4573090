//! The README's shell blocks, so that a test can run what a reader would paste, word for word.

use std::path::Path;

/// The README of the project.
pub(crate) fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README.md")
}

/// Every ```` ```sh ```` block of `markdown` that has a line starting with `curl` or holding `| curl` or `$(curl`,
/// in order.
pub(crate) fn curl_blocks(markdown: &str) -> Vec<String> {
    markdown
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(block, _)| block.to_owned()))
        .filter(|block| {
            block.lines().any(|line| ["curl", "| curl", "$(curl"].iter().any(|c| line.contains(c)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shell_blocks_that_call_curl_are_taken() {
        let text = "a\n```sh\nls\n```\n```sh\ncurl -s x\n```\n```json\ncurl\n```\n";
        assert_eq!(curl_blocks(text), ["curl -s x\n"]);
    }

    #[test]
    fn the_readme_shows_how_to_call_the_api() {
        let all = curl_blocks(&readme()).concat();
        for route in
            ["/api/calls/initiate", "/api/calls/status/", "/cancel", "/health", "/metrics", "text/csv"]
        {
            assert!(all.contains(route), "the README's shell blocks do not show {route}");
        }
    }
}
