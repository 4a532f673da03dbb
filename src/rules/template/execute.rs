//! Executing a template.

use std::cell::Cell;
use std::sync::Arc;

use super::function::{Function, check_length, vector};
use super::node::{Body, Command, Line, Node, Operand, Pipeline};
use super::parse::Tree;
use super::value::{TemplateSample, Value};
use super::{Surroundings, VARIABLES};

/// How many actions one expansion may take.
const STEPS: u32 = 1_000_000;
/// How many of them a query stands for.
const QUERY_STEPS: u32 = 10_000;
/// How deep actions, parentheses and included templates may nest when they are executed. Bounds every recursion.
const DEPTH: usize = 40;

/// One expansion of a template.
pub(super) struct Execution<'a> {
    tree: &'a Tree,
    surroundings: &'a Surroundings<'a>,
    out: String,
    variables: Vec<(String, Value)>,
    steps: Cell<u32>,
    depth: usize,
}

/// Where execution goes on behind a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'a> Execution<'a> {
    pub(super) fn run(tree: &'a Tree, surroundings: &'a Surroundings<'a>) -> Result<String, String> {
        let dot = Value::Data(Arc::clone(&surroundings.data));
        let mut variables = vec![("$".to_owned(), dot.clone())];
        for (name, field) in VARIABLES {
            variables.push((name.to_owned(), dot.field(field)?));
        }
        let steps = Cell::new(0);
        let mut execution = Self { tree, surroundings, out: String::new(), variables, steps, depth: 0 };
        execution.body(&tree.body, &dot)?;
        Ok(execution.out)
    }

    pub(super) fn now_seconds(&self) -> f64 {
        self.surroundings.at.as_secs_f64()
    }

    pub(super) fn external_url(&self) -> &str {
        &self.surroundings.data.external_url
    }

    pub(super) fn query(&self, text: &str) -> Result<Arc<[Arc<TemplateSample>]>, String> {
        self.step(QUERY_STEPS)?;
        let samples = (self.surroundings.query)(text).map_err(|error| error.to_string())?;
        Ok(vector(samples.into_iter().map(|sample| (sample.labels, sample.value))))
    }

    fn step(&self, steps: u32) -> Result<(), String> {
        let taken = self.steps.get().saturating_add(steps);
        self.steps.set(taken);
        if taken > STEPS {
            return Err(format!("the template takes more than {STEPS} steps (template_steps)"));
        }
        Ok(())
    }

    fn push(&mut self, text: &str) -> Result<(), String> {
        self.out.push_str(text);
        check_length(&self.out)
    }

    fn enter(&mut self) -> Result<(), String> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH {
            return Err(format!(
                "actions and included templates nest deeper than {DEPTH} levels (template_depth)"
            ));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn body(&mut self, body: &'a Body, dot: &Value) -> Result<Flow, String> {
        self.enter()?;
        let mut flow = Flow::On;
        for node in body {
            flow = self.node(node, dot)?;
            if flow != Flow::On {
                break;
            }
        }
        self.leave();
        Ok(flow)
    }

    fn node(&mut self, node: &'a Node, dot: &Value) -> Result<Flow, String> {
        self.step(1)?;
        match node {
            Node::Text(text) => self.push(text)?,
            Node::Action(pipeline) => {
                let value = self.declared(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    let text = value.print().map_err(|error| at(pipeline.line, &error))?;
                    self.push(&text)?;
                }
            }
            Node::Branch { is_with, condition, body, otherwise } => {
                let seen = self.variables.len();
                let value = self.declared(condition, dot)?;
                let flow = match (value.is_true(), is_with) {
                    (true, true) => self.body(body, &value)?,
                    (true, false) => self.body(body, dot)?,
                    (false, _) => self.body(otherwise, dot)?,
                };
                self.variables.truncate(seen);
                return Ok(flow);
            }
            Node::Range { over, body, otherwise } => return self.range(over, body, otherwise, dot),
            Node::Template { name, argument, line } => self.include(name, argument.as_ref(), *line, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn include(
        &mut self,
        name: &str,
        argument: Option<&Pipeline>,
        line: Line,
        dot: &Value,
    ) -> Result<(), String> {
        let tree = self.tree;
        let Some(body) = tree.defined.get(name) else {
            return Err(at(line, &format!("template {name:?} not defined")));
        };
        let value = match argument {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Nil,
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), value.clone())]);
        self.body(body, &value)?;
        self.variables = outer;
        Ok(())
    }

    fn range(
        &mut self,
        over: &Pipeline,
        body: &'a Body,
        otherwise: &'a Body,
        dot: &Value,
    ) -> Result<Flow, String> {
        let seen = self.variables.len();
        let value = self.pipeline(over, dot)?;
        let elements: Box<dyn Iterator<Item = (Value, Value)>> = match &value {
            Value::Nil => Box::new(std::iter::empty()),
            Value::Vector(samples) => Box::new(
                (0..).zip(samples.iter()).map(|(at, sample)| (Value::Int(at), Value::Sample(sample.clone()))),
            ),
            Value::Labels(labels) => Box::new(
                labels
                    .iter()
                    .map(|label| (Value::Text(label.name.clone()), Value::Text(label.value.clone()))),
            ),
            Value::Arguments(arguments) => {
                Box::new(arguments.iter().map(|(name, value)| (Value::text(name.as_str()), value.clone())))
            }
            Value::Int(count) if over.variables.len() > 1 => {
                let text = format!("can't use {count} to iterate over more than one variable");
                return Err(at(over.line, &text));
            }
            Value::Int(count) => Box::new((0..*count).map(|at| (Value::Int(at), Value::Int(at)))),
            other => {
                return Err(at(over.line, &format!("range can't iterate over {}", other.type_name())));
            }
        };
        let mut is_empty = true;
        for (key, element) in elements {
            is_empty = false;
            self.step(1)?;
            let pairs = match over.variables.as_slice() {
                [] => Vec::new(),
                [one] => vec![(one, element.clone())],
                [first, second, ..] => vec![(first, key), (second, element.clone())],
            };
            for (name, value) in pairs {
                self.set(name, value, over)?;
            }
            let flow = self.body(body, &element)?;
            self.variables.truncate(seen);
            if flow == Flow::Break {
                break;
            }
        }
        if is_empty {
            let flow = self.body(otherwise, dot)?;
            self.variables.truncate(seen);
            return Ok(flow);
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, value: Value, pipeline: &Pipeline) -> Result<(), String> {
        if !pipeline.assigns {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => return Err(at(pipeline.line, &format!("undefined variable `{name}`"))),
        }
        Ok(())
    }

    /// The value of a pipeline, which the variables in front of it take.
    fn declared(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let value = self.pipeline(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(name, value.clone(), pipeline)?;
        }
        Ok(value)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut value = None;
        for command in &pipeline.commands {
            self.step(1)?;
            value = Some(self.command(command, value, dot, pipeline.line)?);
        }
        Ok(value.unwrap_or(Value::Nil))
    }

    fn command(
        &mut self,
        command: &Command,
        last: Option<Value>,
        dot: &Value,
        line: Line,
    ) -> Result<Value, String> {
        let Operand::Function(function) = command.first else {
            if !command.arguments.is_empty() || last.is_some() {
                return Err(at(line, "only a function takes arguments"));
            }
            if matches!(command.first, Operand::Nil) {
                return Err(at(line, "nil is not a command"));
            }
            return self.operand(&command.first, dot, line);
        };
        if matches!(function, Function::And | Function::Or) {
            let given = command.arguments.len().saturating_add(usize::from(last.is_some()));
            function.check_arguments(given).map_err(|error| at(line, &error))?;
            let mut value = Value::Nil;
            for argument in &command.arguments {
                value = self.operand(argument, dot, line)?;
                if value.is_true() == (function == Function::Or) {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut arguments = Vec::with_capacity(command.arguments.len().saturating_add(1));
        for argument in &command.arguments {
            arguments.push(self.operand(argument, dot, line)?);
        }
        arguments.extend(last);
        function.call(&arguments, self).map_err(|error| at(line, &error))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value, line: Line) -> Result<Value, String> {
        let fields = |value: Value, names: &[String]| {
            names.iter().try_fold(value, |value, name| value.field(name)).map_err(|error| at(line, &error))
        };
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Value::Nil),
            Operand::Bool(value) => Ok(Value::Bool(*value)),
            Operand::Int(value) => Ok(Value::Int(*value)),
            Operand::Float(value) => Ok(Value::Float(*value)),
            Operand::Text(text) => Ok(Value::text(text.as_str())),
            Operand::Field(names) => fields(dot.clone(), names),
            Operand::Variable(name, names) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let Some((_, value)) = found else {
                    return Err(at(line, &format!("undefined variable `{name}`")));
                };
                fields(value.clone(), names)
            }
            Operand::Function(function) => function.call(&[], self).map_err(|error| at(line, &error)),
            Operand::Pipeline(pipeline, names) => {
                self.enter()?;
                let seen = self.variables.len();
                let value = self.declared(pipeline, dot)?;
                self.variables.truncate(seen);
                self.leave();
                fields(value, names)
            }
        }
    }
}

fn at(line: Line, text: &str) -> String {
    format!("line {line}: {text}")
}
