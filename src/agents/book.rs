//! The book of agents: every agent of this binary, its files embedded or taken from a directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use minijinja::{Environment, context};
use serde_json::Value;

use super::REGISTERED;
use super::blueprint::Blueprint;
use crate::domain::agent::{Agent, Definition, Lines};

/// All agents, by name. Cheap to clone; never changes after it was made.
#[derive(Clone)]
pub struct Book {
    agents: Arc<BTreeMap<String, Arc<Agent>>>,
}

/// The text of an agent's three files.
struct Sources {
    definition: String,
    prompt: String,
    schema: String,
}

impl Book {
    /// The agents as they were built into the binary.
    ///
    /// # Errors
    /// When a definition does not parse, allows a tool that does not exist, or a template does not render.
    pub fn embedded() -> Result<Self> {
        Self::build(|blueprint| Ok(embedded(blueprint)))
    }

    /// The same, each file replaced by `path/{agent}/{agent.toml|prompt.md|schema.json}` where that exists.
    ///
    /// # Errors
    /// As [`Book::embedded`]; also when a folder in `path` names no agent of this binary, or cannot be read.
    pub fn with_dir(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let entries =
            std::fs::read_dir(path).with_context(|| format!("agents: cannot read {}", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("agents: cannot read {}", path.display()))?;
            let name = entry.file_name();
            // A folder without a definition of ours (`.git`, notes of the operator) is none of our business.
            let ours = entry.path().join("agent.toml").exists() || entry.path().join("prompt.md").exists();
            let known = REGISTERED.iter().any(|b| name.to_str() == Some(b.name));
            ensure!(
                !ours || known,
                "agents: {} is no agent of this binary; its tools would be missing",
                entry.path().display()
            );
        }
        Self::build(|blueprint| {
            let folder = path.join(blueprint.name);
            let read = |file: &str, default: String| match std::fs::read_to_string(folder.join(file)) {
                Ok(text) => Ok(text),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(default),
                Err(e) => Err(e).with_context(|| format!("agents: {}/{file}", folder.display())),
            };
            let own = embedded(blueprint);
            Ok(Sources {
                definition: read("agent.toml", own.definition)?,
                prompt: read("prompt.md", own.prompt)?,
                schema: read("schema.json", own.schema)?,
            })
        })
    }

    /// The agent of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Agent>> {
        self.agents.get(name).cloned()
    }

    /// Every name, in alphabetical order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.agents.keys().cloned().collect()
    }

    fn build(sources: impl Fn(&Blueprint) -> Result<Sources>) -> Result<Self> {
        let mut agents = BTreeMap::new();
        for blueprint in REGISTERED {
            let agent = sources(blueprint)
                .and_then(|sources| assemble(blueprint, &sources))
                .with_context(|| format!("agent {}", blueprint.name))?;
            agents.insert(blueprint.name.to_owned(), Arc::new(agent));
        }
        Ok(Self { agents: Arc::new(agents) })
    }
}

fn embedded(blueprint: &Blueprint) -> Sources {
    Sources {
        definition: blueprint.definition.to_owned(),
        prompt: blueprint.prompt.to_owned(),
        schema: blueprint.schema.to_owned(),
    }
}

fn assemble(blueprint: &Blueprint, sources: &Sources) -> Result<Agent> {
    let definition: Definition = toml::from_str(&sources.definition).context("agent.toml")?;
    ensure!(definition.name == blueprint.name, "agent.toml: name is {:?}", definition.name);
    check_templates(&definition, &sources.prompt)?;
    let schema = if sources.schema.trim().is_empty() {
        Value::Null
    } else {
        serde_json::from_str::<Value>(&sources.schema).context("schema.json")?
    };
    ensure!(schema.is_null() || schema.is_object(), "schema.json: not a JSON schema object");
    let all = (blueprint.tools)();
    let mut tools = Vec::new();
    for name in &definition.tools {
        match all.iter().find(|tool| tool.name() == name) {
            Some(tool) => tools.push(Arc::clone(tool)),
            None => bail!("agent.toml: tool {name:?} does not exist"),
        }
    }
    Ok(Agent {
        definition,
        prompt: sources.prompt.clone(),
        schema,
        tools,
        state: blueprint.state,
        observe: blueprint.observe,
        conclude: blueprint.conclude,
    })
}

/// Renders everything once without variables, so that a broken template stops the start and not a call.
fn check_templates(definition: &Definition, prompt: &str) -> Result<()> {
    let Lines { greeting, bridges, silence, misheard, failure, refused, consent_again, .. } =
        &definition.lines;
    let Lines { opted_out, silent_goodbye, limit_goodbye, transfer, no_transfer, voicemail, .. } =
        &definition.lines;
    let lists = [("bridges", bridges), ("silence", silence), ("misheard", misheard)];
    for (name, list) in lists {
        ensure!(!list.is_empty(), "agent.toml: lines.{name} is empty");
    }
    let single = [
        greeting,
        failure,
        refused,
        consent_again,
        opted_out,
        silent_goodbye,
        limit_goodbye,
        transfer,
        no_transfer,
        voicemail,
    ];
    let env = Environment::new();
    let variables = BTreeMap::<String, String>::new();
    let render = |what: &str, template: &str| {
        let text = env
            .render_str(template, context! { variables, definition, style => "normal" })
            .with_context(|| format!("{what} does not render"))?;
        ensure!(!text.trim().is_empty(), "{what} is empty");
        Ok(())
    };
    render("prompt.md", prompt)?;
    let lines = single.into_iter().chain(lists.into_iter().flat_map(|(_, list)| list));
    lines.into_iter().try_for_each(|line| render("a line of agent.toml", line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_is_whole() -> Result<()> {
        let book = Book::embedded()?;
        assert_eq!(book.names(), ["interview", "reminder"]);
        for name in book.names() {
            let agent = book.get(&name).context("listed but absent")?;
            assert_eq!(agent.tools.len(), agent.definition.tools.len(), "{name}");
            for tool in &agent.tools {
                assert_eq!(tool.parameters()["additionalProperties"], false, "{name}: {}", tool.name());
                assert!(jsonschema::meta::is_valid(&tool.parameters()), "{name}: {}", tool.name());
                assert!(tool.description().len() > 20, "{name}: {}", tool.name());
            }
            assert!(book.get("nobody").is_none());
        }
        Ok(())
    }

    #[test]
    fn schemas_are_strict() -> Result<()> {
        fn strict(value: &Value, path: &str) {
            if let Some(properties) = value["properties"].as_object() {
                assert_eq!(value["additionalProperties"], false, "{path}");
                let required: Vec<&str> =
                    value["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                for (name, property) in properties {
                    assert!(required.contains(&name.as_str()), "{path}.{name} is not required");
                    strict(property, &format!("{path}.{name}"));
                }
                assert_eq!(required.len(), properties.len(), "{path}");
            }
            if value["items"].is_object() {
                strict(&value["items"], &format!("{path}[]"));
            }
            for variant in value["anyOf"].as_array().into_iter().flatten() {
                strict(variant, path);
            }
        }
        let book = Book::embedded()?;
        for name in book.names() {
            let agent = book.get(&name).context("listed but absent")?;
            if !agent.schema.is_null() {
                assert!(jsonschema::meta::is_valid(&agent.schema), "{name}");
                strict(&agent.schema, &name);
            }
        }
        Ok(())
    }

    #[test]
    fn a_directory_replaces_files_and_only_known_agents() -> Result<()> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("reminder"))?;
        std::fs::write(dir.path().join("reminder/prompt.md"), "Say hello to {{ variables.name }}.")?;
        let book = Book::with_dir(dir.path())?;
        assert!(book.get("reminder").context("reminder")?.prompt.starts_with("Say hello"));
        assert!(book.get("interview").context("interview")?.prompt.len() > 500);

        std::fs::write(dir.path().join("reminder/prompt.md"), "{{ variables.name")?;
        assert!(Book::with_dir(dir.path()).is_err());
        std::fs::remove_file(dir.path().join("reminder/prompt.md"))?;
        std::fs::create_dir(dir.path().join("stranger"))?;
        std::fs::write(dir.path().join("stranger/agent.toml"), "name = \"stranger\"")?;
        assert!(Book::with_dir(dir.path()).is_err());
        Ok(())
    }
}
