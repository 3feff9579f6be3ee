// Seconds with the page in view, in the form's own field.

export class Clock {
  constructor(field) {
    this.field = field;
    this.ms = Number(field.value || 0) * 1000;
    this.since = document.hidden ? null : performance.now();
  }

  pause() {
    this.ms = this.elapsed();
    this.since = null;
  }

  goOn() {
    this.since ??= performance.now();
  }

  elapsed() {
    return this.ms + (this.since === null ? 0 : performance.now() - this.since);
  }

  write() {
    this.field.value = (this.elapsed() / 1000).toFixed(1);
  }
}
