import { readFileSync } from "node:fs";
import * as path from "node:path";

import * as ts from "typescript";

import { named, type Properties, type ResourceShape, type Shape } from "./shapes";

/** Reads the shapes of a Pulumi SDK's resources from its `.d.ts` files. */
export class NpmShapes {
  private readonly root: string;
  private readonly files = new Map<string, ts.SourceFile>();

  constructor(npmPackage: string) {
    this.root = path.join(__dirname, "..", "..", "node_modules", npmPackage);
  }

  /** The shape of a resource type, for example "docker:index/container:Container", or of a provider. */
  resource(token: string): ResourceShape {
    const [, module = "", name = ""] = token.split(":");
    const isProvider = token.startsWith("pulumi:providers:");
    const file = this.file(isProvider ? "provider.d.ts" : `${module.replace(/^index\//, "")}.d.ts`);
    const className = isProvider ? "Provider" : name;
    const args = declaration(file.statements, `${className}Args`, ts.isInterfaceDeclaration);
    const inputs = this.properties(args.members.filter(ts.isPropertySignature));
    if (isProvider) return { inputs, outputs: {} };
    const declared = declaration(file.statements, className, ts.isClassDeclaration);
    return { inputs, outputs: this.properties(declared.members.filter(ts.isPropertyDeclaration)) };
  }

  private properties(members: readonly (ts.PropertySignature | ts.PropertyDeclaration)[]): Properties {
    const result: Properties = {};
    for (const member of members) {
      if (member.type === undefined || !ts.isIdentifier(member.name)) continue;
      // An output is never marked "?": one that may be absent is Output<T | undefined>.
      const optional = member.questionToken !== undefined || (isOutput(member.type) && mayBeUndefined(member.type));
      result[named(member.name.text, optional)] = this.shape(member.type);
    }
    return result;
  }

  private shape(node: ts.TypeNode): Shape {
    if (ts.isUnionTypeNode(node)) {
      const rest = node.types.filter((type) => type.kind !== ts.SyntaxKind.UndefinedKeyword);
      return rest.length === 1 && rest[0] !== undefined ? this.shape(rest[0]) : "any";
    }
    if (ts.isArrayTypeNode(node)) return { list: this.shape(node.elementType) };
    if (ts.isTypeLiteralNode(node)) {
      const index = node.members.find(ts.isIndexSignatureDeclaration);
      if (index !== undefined) return { map: this.shape(index.type) };
    }
    if (ts.isTypeReferenceNode(node)) return this.reference(node);
    if (node.kind === ts.SyntaxKind.StringKeyword) return "string";
    if (node.kind === ts.SyntaxKind.NumberKeyword) return "number";
    if (node.kind === ts.SyntaxKind.BooleanKeyword) return "boolean";
    if (node.kind === ts.SyntaxKind.AnyKeyword) return "any";
    throw new Error(
      `Unable to read the type ${node.getText()}: its syntax is unknown. Teach it to test/toolchain/npm-shapes.ts.`,
    );
  }

  private reference(node: ts.TypeReferenceNode): Shape {
    const words = node.typeName.getText().split(".");
    const inner = node.typeArguments?.[0];
    if (words[0] === "pulumi" && inner !== undefined) return this.shape(inner); // pulumi.Input<T>, pulumi.Output<T>
    if (words[0] !== "inputs" && words[0] !== "outputs") {
      throw new Error(`Unable to read the type ${node.getText()}: it is no input or output type of the package.`);
    }
    let statements: readonly ts.Statement[] = this.file(
      words[0] === "inputs" ? "types/input.d.ts" : "types/output.d.ts",
    ).statements;
    for (const word of words.slice(1, -1)) {
      const { body } = declaration(statements, word, ts.isModuleDeclaration);
      statements = body !== undefined && ts.isModuleBlock(body) ? body.statements : [];
    }
    const found = declaration(statements, words.at(-1) ?? "", ts.isInterfaceDeclaration);
    return { object: this.properties(found.members.filter(ts.isPropertySignature)) };
  }

  private file(name: string): ts.SourceFile {
    const known = this.files.get(name);
    if (known !== undefined) return known;
    const text = readFileSync(path.join(this.root, name), "utf8");
    const file = ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true);
    this.files.set(name, file);
    return file;
  }
}

function isOutput(node: ts.TypeNode): node is ts.TypeReferenceNode {
  return ts.isTypeReferenceNode(node) && node.typeName.getText() === "pulumi.Output";
}

function mayBeUndefined(node: ts.TypeReferenceNode): boolean {
  const inner = node.typeArguments?.[0];
  if (inner === undefined || !ts.isUnionTypeNode(inner)) return false;
  return inner.types.some((type) => type.kind === ts.SyntaxKind.UndefinedKeyword);
}

function declaration<T extends ts.DeclarationStatement>(
  statements: readonly ts.Statement[],
  name: string,
  is: (node: ts.Node) => node is T,
): T {
  const found = statements.filter(is).find((statement) => statement.name?.text === name);
  if (found === undefined) throw new Error(`Unable to find ${name} in the package's types.`);
  return found;
}
