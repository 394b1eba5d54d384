import type { SeededRandom } from "./simulated-random.ts";

const tags = ["red", "blue", "beta", "partner", "trial", "legacy"] as const;
const departments = ["Sales", "Research", "Support", "Finance", "Legal", "Operations"] as const;

/** JSON that a reader keeps whole only if it never goes through JavaScript's numbers or a narrow character set. */
const hardValues: readonly [HardValue, ...HardValue[]] = [
  (random) => `{"employee_number":${random.digits(17 + random.integer(20))},"just_beyond":9007199254740993}`,
  (random) =>
    `{"balance":-${random.digits(4)}.${random.digits(30)},"rate":0.10,"tiny":0.${"0".repeat(20)}${random.digits(5)}}`,
  (random) => `{"mass":${random.digits(1)}.${random.digits(8)}e23,"ratio":1E-7,"limit":${random.digits(300)}}`,
  () =>
    `{"family":"👩‍👩‍👧‍👦","flag":"🏴‍☠️","city":"東京都千代田区","combining":"e\u0301 n\u0303 \u1100\u1161\u11a8","hebrew":"שלום"}`,
  () => String.raw`{"escaped":"\ud83d\ude00 \u00e9 \/ \\ \" \b\f\n\r\t \u2028 \u007f","path":"C:\\temp\\n"}`,
  () => `{"nested":[[1,[2,[3,[4,[]]]]],[[[{}]],[],{}],[null,true,false,""]],"none":{},"nothing":null}`,
  () => `{"":"empty key","a.b":true,"constructor":1,"__proto__":{"polluted":true},"ключ":"значение","鍵":"値"}`,
  (random) => `{"notes":"${"a long text that goes on and on; ".repeat(100 + random.integer(200))}"}`,
];

type HardValue = (random: SeededRandom) => string;

/** A JSON object of a customer's own making: mostly empty or plain, at times hard to carry. */
export function attributes(random: SeededRandom): string {
  const kind = random.integer(100);
  if (kind < 55) return "{}";
  if (kind < 75) return `{"department":"${random.pick(departments)}"}`;
  if (kind < 97)
    return `{"cost_center":"${random.integer(9_000)}","tag":"${random.pick(tags)}","level":${random.integer(12)}}`;
  return random.pick(hardValues)(random);
}
