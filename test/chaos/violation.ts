/** Something that may never happen has happened: not trouble, but a mistake of the mirror. */
export class Violation extends Error {
  override readonly name = "Violation";
}
