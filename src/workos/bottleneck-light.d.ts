/** Without Redis, and not translated for old engines: that would take an eighth more of the program's processor time. */
declare module "bottleneck/light.js" {
  export { default } from "bottleneck";
}
