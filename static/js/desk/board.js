// The board beside the answers: a letter for each, on the rung of its place; by mouse, or by finger on the grip.

export function makeBoard(work, drop) {
  const slots = [...work.querySelectorAll(".slot")];
  return slots.length ? new Board(work, slots, drop) : null;
}

class Board {
  constructor(work, slots, drop) {
    this.slots = slots;
    this.chips = new Map([...work.querySelectorAll(".chip")].map((chip) => [chip.dataset.letter, chip]));
    this.sortables = window.Sortable ? slots.map((slot) => this.makeSortable(slot, drop)) : [];
  }

  makeSortable(slot, drop) {
    return new window.Sortable(slot, {
      group: "board",
      sort: false,
      draggable: ".chip",
      // A finger on the letter scrolls the page; only the grip drags.
      handle: matchMedia("(pointer: coarse)").matches ? ".grip" : undefined,
      forceFallback: true,
      fallbackTolerance: 4,
      animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 120,
      onMove: ({ to }) => this.highlight(to),
      onEnd: ({ item, to }) => {
        this.highlight(null);
        drop(item.dataset.letter, to.dataset.rank);
      },
    });
  }

  highlight(slot) {
    for (const known of this.slots) known.classList.toggle("over", known === slot);
  }

  move(letter, rank) {
    const chip = this.chips.get(letter);
    const slot = this.slots.find((found) => found.dataset.rank === rank);
    if (chip && slot && chip.parentElement !== slot) slot.append(chip);
  }

  leave() {
    for (const sortable of this.sortables) sortable.destroy();
  }
}
