// One tab works on a task. The one that showed it last has it; the others say so and stand still.

export class Tabs {
  constructor(onElsewhere) {
    this.channel = window.BroadcastChannel ? new BroadcastChannel("plumbline-desk") : null;
    this.lease = null;
    this.channel?.addEventListener("message", ({ data }) => {
      if (data.lease && data.lease === this.lease) onElsewhere();
    });
  }

  show(lease) {
    this.lease = lease;
    this.channel?.postMessage({ lease });
  }
}
