/** Something that an operator may want to know, though the mirror got around it. */
export interface News {
  level: "info" | "warn" | "error";
  /** A stable name. */
  code: string;
  message: string;
  fields?: Record<string, unknown>;
}
