// Numbers as text. Each function returns "-" for null and for what is no number.

const ABSENT = "-";

function threeDigits(number) {
  const size = Math.abs(number);
  if (size === 0) return "0";
  return number.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

// Returns the number in the largest unit of which there is at least one, or in the first one. Each
// unit is `step` of the one before it.
function inUnits(number, step, units) {
  if (number === null || Number.isNaN(number)) return ABSENT;
  let unit = 0;
  while (unit + 1 < units.length && Math.abs(number) >= step * 0.9995) {
    number /= step;
    ++unit;
  }
  return threeDigits(number) + units[unit];
}

export function count(number) {
  if (Number.isInteger(number) && Math.abs(number) < 1e4) return String(number);
  return inUnits(number, 1000, ["", " k", " M", " G", " T"]);
}

export function bytes(number) {
  return inUnits(number, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
}

export function seconds(number) {
  return inUnits(number === null ? null : number * 1e6, 1000, [" us", " ms", " s"]);
}

export function percent(share) {
  return share === null || Number.isNaN(share) ? ABSENT : `${threeDigits(share * 100)} %`;
}

// Returns a number of any size in four significant digits.
export function plain(number) {
  return number === null || Number.isNaN(number) ? ABSENT : String(Number(number.toPrecision(4)));
}

// Returns a length of time in its two largest units: "3 d 4 h", "5 min 6 s".
export function duration(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  let first = units.findIndex(([length]) => seconds >= length);
  if (first < 0) first = units.length - 1;
  return units
    .slice(first, first + 2)
    .map(([length, name], i) => {
      const above = i === 0 ? Infinity : units[first][0];
      return `${Math.floor((seconds % above) / length)} ${name}`;
    })
    .join(" ");
}
