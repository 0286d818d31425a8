//! What a template of an ExternalSecret may consist of, and how it gets to the engine.
//!
//! The engine's own operators would compare, join and repeat values without counting the bytes, so none is left in what it
//! runs. A template is parsed by the engine's parser into its syntax tree, and rewritten: every operator, test and function
//! becomes a filter, which is one of ours (`tools`) and counts what it costs; the template's own text becomes an expression,
//! so that all output passes one place. A node that is not known here is refused. Arguments are bound to their
//! parameters on the way, so that a wrong call is found without any value.
//!
//! The engine's parser and compiler recurse into long expressions without a limit of their own. So the tokens are counted
//! first.

use minijinja::{
    Value,
    machinery::{
        CodeGenerator, Instructions, Span, Token,
        ast::{
            BinOp, BinOpKind, CallArg, Const, EmitExpr, Expr, Filter, ForLoop, GetAttr, GetItem, IfCond,
            IfExpr, List, Map, Set, Spanned, Stmt, Template, UnaryOp, UnaryOpKind, Var,
        },
        parse, tokenize,
    },
    syntax::SyntaxConfig,
};

use super::{
    Fault, limits,
    tools::{self, FILTERS, FUNCTIONS, TESTS, Tool},
};

/// In which line, and why.
pub(super) type Refused = (Option<usize>, Fault);

/// Checks and rewrites a template.
pub(super) fn compile(source: &str) -> Result<Instructions<'_>, Refused> {
    if source.len() > limits::SOURCE_BYTES {
        return Err((None, Fault::TooLong));
    }
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    let syntax = syntax.expect("the engine's own delimiters are valid");
    count(source, &syntax)?;
    let unparsed = |error: minijinja::Error| (error.line(), Fault::Syntax);
    let tree = parse(source, "", syntax).map_err(unparsed)?;
    let tree = Rewrite::default().statement(&tree)?;
    let mut generator = CodeGenerator::new("", source);
    generator.compile_stmt(&tree);
    Ok(generator.finish().0)
}

/// Refuses what the parser would recurse into too deeply.
fn count(source: &str, syntax: &SyntaxConfig) -> Result<(), Refused> {
    let (mut links, mut branches) = (0, 0);
    for token in tokenize(source, false, syntax.clone()) {
        let (token, span) = token.map_err(|error| (error.line(), Fault::Syntax))?;
        match token {
            Token::BlockStart | Token::VariableStart => links = 0,
            Token::Comma | Token::Colon | Token::Str(_) | Token::String(_) | Token::TemplateData(_) => {}
            Token::Ident("elif") => branches += 1,
            // Every other one can be a level.
            _ => links += 1,
        }
        if links > limits::LINKS || branches > limits::BRANCHES {
            return Err((line(span), Fault::TooDeep));
        }
    }
    Ok(())
}

/// What has been met on the way.
#[derive(Default)]
struct Rewrite {
    sets: usize,
    levels: usize,
}

impl Rewrite {
    fn statement<'a>(&mut self, statement: &Stmt<'a>) -> Result<Stmt<'a>, Refused> {
        Ok(match statement {
            Stmt::Template(node) => {
                let children = self.statements(&node.children)?;
                Stmt::Template(Spanned::new(Template { children }, node.span()))
            }
            Stmt::EmitRaw(node) => {
                let expr = constant(Value::from(node.raw), node.span());
                Stmt::EmitExpr(Spanned::new(EmitExpr { expr }, node.span()))
            }
            Stmt::EmitExpr(node) => {
                let expr = self.expression(&node.expr)?;
                Stmt::EmitExpr(Spanned::new(EmitExpr { expr }, node.span()))
            }
            Stmt::IfCond(node) => {
                let expr = self.expression(&node.expr)?;
                let (true_body, false_body) =
                    (self.statements(&node.true_body)?, self.statements(&node.false_body)?);
                Stmt::IfCond(Spanned::new(IfCond { expr, true_body, false_body }, node.span()))
            }
            Stmt::ForLoop(node) if !node.recursive => {
                let rewritten = ForLoop {
                    target: target(&node.target)?,
                    iter: self.expression(&node.iter)?,
                    filter_expr: self.optional(node.filter_expr.as_ref())?,
                    recursive: false,
                    body: self.statements(&node.body)?,
                    else_body: self.statements(&node.else_body)?,
                };
                Stmt::ForLoop(Spanned::new(rewritten, node.span()))
            }
            Stmt::Set(node) => {
                // Each can hold the one before in a list, and what holds another is dropped by recursion.
                self.sets += 1;
                if self.sets > limits::SETS {
                    return Err((line(node.span()), Fault::TooDeep));
                }
                let (target, expr) = (target(&node.target)?, self.expression(&node.expr)?);
                Stmt::Set(Spanned::new(Set { target, expr }, node.span()))
            }
            Stmt::ForLoop(node) => return Err((line(node.span()), Fault::UnknownStatement)),
            Stmt::AutoEscape(node) => return Err((line(node.span()), Fault::UnknownStatement)),
            Stmt::Do(node) => return Err((line(node.span()), Fault::UnknownStatement)),
            Stmt::FilterBlock(node) => return Err((line(node.span()), Fault::UnknownStatement)),
            Stmt::SetBlock(node) => return Err((line(node.span()), Fault::UnknownStatement)),
            Stmt::WithBlock(node) => return Err((line(node.span()), Fault::UnknownStatement)),
        })
    }

    fn statements<'a>(&mut self, statements: &[Stmt<'a>]) -> Result<Vec<Stmt<'a>>, Refused> {
        statements.iter().map(|statement| self.statement(statement)).collect()
    }

    fn optional<'a>(&mut self, expression: Option<&Expr<'a>>) -> Result<Option<Expr<'a>>, Refused> {
        expression.map(|expression| self.expression(expression)).transpose()
    }

    fn expressions<'a>(&mut self, expressions: &[Expr<'a>]) -> Result<Vec<Expr<'a>>, Refused> {
        // Only lists and maps that are written out come here: how deep they are in each other is how deep their values are.
        if self.levels == limits::LEVELS {
            return Err((expressions.first().and_then(|first| line(first.span())), Fault::TooDeep));
        }
        self.levels += 1;
        let rewritten = expressions.iter().map(|expression| self.expression(expression)).collect();
        self.levels -= 1;
        rewritten
    }

    fn expression<'a>(&mut self, expression: &Expr<'a>) -> Result<Expr<'a>, Refused> {
        let span = expression.span();
        let refused = |fault| Err((line(span), fault));
        Ok(match expression {
            Expr::Var(node) => variable(node.id, span),
            Expr::Const(node) => constant(node.value.clone(), span),
            Expr::GetAttr(node) => {
                let (expr, name) = (self.expression(&node.expr)?, node.name);
                Expr::GetAttr(Spanned::new(GetAttr { expr, name }, span))
            }
            Expr::GetItem(node) => {
                let (expr, subscript_expr) =
                    (self.expression(&node.expr)?, self.expression(&node.subscript_expr)?);
                Expr::GetItem(Spanned::new(GetItem { expr, subscript_expr }, span))
            }
            Expr::List(node) => {
                Expr::List(Spanned::new(List { items: self.expressions(&node.items)? }, span))
            }
            Expr::Map(node) => {
                if !node.keys.iter().all(is_text) {
                    return refused(Fault::BadCall);
                }
                let keys = node.keys.iter().map(|key| self.expression(key)).collect::<Result<_, _>>()?;
                Expr::Map(Spanned::new(Map { keys, values: self.expressions(&node.values)? }, span))
            }
            Expr::UnaryOp(node) => match (&node.op, &node.expr) {
                (UnaryOpKind::Not, expr) => not(self.expression(expr)?, span),
                (UnaryOpKind::Neg, Expr::Const(number)) if number.value.is_number() => {
                    let expr = constant(number.value.clone(), span);
                    Expr::UnaryOp(Spanned::new(UnaryOp { op: UnaryOpKind::Neg, expr }, span))
                }
                (UnaryOpKind::Neg, _) => return refused(Fault::Arithmetic),
            },
            Expr::BinOp(node) => {
                let (left, right) = (self.expression(&node.left)?, self.expression(&node.right)?);
                match operator(node.op) {
                    Operator::Ours(tool) => filter(tool, vec![left, right], span),
                    Operator::Engines(op) => Expr::BinOp(Spanned::new(BinOp { op, left, right }, span)),
                    Operator::None => return refused(Fault::Arithmetic),
                }
            }
            Expr::IfExpr(node) => {
                let rewritten = IfExpr {
                    test_expr: self.expression(&node.test_expr)?,
                    true_expr: self.expression(&node.true_expr)?,
                    false_expr: self.optional(node.false_expr.as_ref())?,
                };
                Expr::IfExpr(Spanned::new(rewritten, span))
            }
            Expr::Filter(node) => {
                let Some(tool) = tools::find(&FILTERS, node.name) else {
                    return refused(Fault::UnknownFilter);
                };
                // A filter without a value is a block's, and there are no filter blocks.
                let Some(value) = &node.expr else {
                    return refused(Fault::UnknownStatement);
                };
                let value = self.expression(value)?;
                self.call(tool, Some(value), &node.args, span)?
            }
            Expr::Test(node) => {
                let Some(tool) = tools::find(&TESTS, node.name) else {
                    return refused(Fault::UnknownTest);
                };
                let value = self.expression(&node.expr)?;
                self.call(tool, Some(value), &node.args, span)?
            }
            Expr::Call(node) => {
                let name = if let Expr::Var(function) = &node.expr { function.id } else { "" };
                let Some(tool) = tools::find(&FUNCTIONS, name) else {
                    return refused(Fault::UnknownFunction);
                };
                self.call(tool, None, &node.args, span)?
            }
            Expr::Compare(_) | Expr::Slice(_) | Expr::Tuple(_) => return refused(Fault::UnknownExpression),
        })
    }

    /// Puts each argument into its parameter's place; `none` stands for one that is left out.
    fn call<'a>(
        &mut self,
        tool: &'static Tool,
        value: Option<Expr<'a>>,
        arguments: &[CallArg<'a>],
        span: Span,
    ) -> Result<Expr<'a>, Refused> {
        let bad = || (line(span), Fault::BadCall);
        let mut bound: Vec<Option<Expr<'a>>> = tool.parameters.iter().map(|_| None).collect();
        for (position, argument) in arguments.iter().enumerate() {
            let (place, expression) = match argument {
                CallArg::Pos(expression) => (Some(position), expression),
                CallArg::Kwarg(name, expression) => {
                    (tool.parameters.iter().position(|parameter| parameter == name), expression)
                }
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => return Err(bad()),
            };
            let expression = self.expression(expression)?;
            let place = place.and_then(|place| bound.get_mut(place)).ok_or_else(bad)?;
            if place.replace(expression).is_some() {
                return Err(bad());
            }
        }
        if bound.iter().take(tool.required).any(Option::is_none) {
            return Err(bad());
        }
        let missing = || constant(Value::from(()), span);
        let bound = bound.into_iter().map(|argument| argument.unwrap_or_else(missing));
        Ok(filter(tool, value.into_iter().chain(bound).collect(), span))
    }
}

/// What a loop or a `set` binds: a name, or names to which a list's elements are given.
fn target<'a>(expression: &Expr<'a>) -> Result<Expr<'a>, Refused> {
    let span = expression.span();
    match expression {
        Expr::Var(node) => Ok(variable(node.id, span)),
        Expr::List(node) => {
            let items = node.items.iter().map(target).collect::<Result<_, _>>()?;
            Ok(Expr::List(Spanned::new(List { items }, span)))
        }
        _ => Err((line(span), Fault::UnknownStatement)),
    }
}

/// What becomes of an operator.
enum Operator {
    /// It only chooses one of its operands.
    Engines(BinOpKind),
    None,
    Ours(&'static Tool),
}

fn operator(op: BinOpKind) -> Operator {
    let name = match op {
        BinOpKind::ScAnd | BinOpKind::ScOr => return Operator::Engines(op),
        BinOpKind::Concat => "~",
        BinOpKind::Eq => "==",
        BinOpKind::Gt => ">",
        BinOpKind::Gte => ">=",
        BinOpKind::In => "in",
        BinOpKind::Lt => "<",
        BinOpKind::Lte => "<=",
        BinOpKind::Ne => "!=",
        BinOpKind::Add
        | BinOpKind::Div
        | BinOpKind::FloorDiv
        | BinOpKind::Mul
        | BinOpKind::Pow
        | BinOpKind::Rem
        | BinOpKind::Sub => return Operator::None,
    };
    tools::find(&tools::OPERATORS, name).map_or(Operator::None, Operator::Ours)
}

fn filter<'a>(tool: &'static Tool, values: Vec<Expr<'a>>, span: Span) -> Expr<'a> {
    let mut values = values.into_iter();
    let (expr, args) = (values.next(), values.map(CallArg::Pos).collect());
    Expr::Filter(Spanned::new(Filter { name: tool.name, expr, args }, span))
}

fn not(expr: Expr<'_>, span: Span) -> Expr<'_> {
    Expr::UnaryOp(Spanned::new(UnaryOp { op: UnaryOpKind::Not, expr }, span))
}

fn variable(id: &str, span: Span) -> Expr<'_> {
    Expr::Var(Spanned::new(Var { id }, span))
}

fn constant<'a>(value: Value, span: Span) -> Expr<'a> {
    Expr::Const(Spanned::new(Const { value }, span))
}

fn is_text(expression: &Expr<'_>) -> bool {
    matches!(expression, Expr::Const(node) if node.value.as_str().is_some())
}

fn line(span: Span) -> Option<usize> {
    Some(usize::from(span.start_line))
}
