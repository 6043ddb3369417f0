"use strict";
// Draws the figures of an event with the chart library of the admin's theme. Everything that is drawn
// stands in a table too.

const COLOURS = { present: "#15803d", late: "#d97706", excused: "#2563eb", absent: "#dc2626", unknown: "#94a3b8" };
const OFFERS = {
  accepted: "#15803d",
  declined: "#d97706",
  expired: "#dc2626",
  withdrawn: "#94a3b8",
  standing: "#2563eb",
};
const LINE = "#7c3aed";

const page = document.querySelector(".turnout-figures");

const labels = Object.fromEntries(
  [...page.querySelectorAll("[data-status]")].map((row) => [row.dataset.status, row.dataset.label])
);

function moments(buckets, minutes) {
  const dates = buckets.map((bucket) => new Date(`${bucket.at}Z`));
  const days = new Set(dates.map((date) => date.toDateString()));
  const format = { timeZone: "UTC" }; // the event's own clock, written as if it were UTC's
  if (minutes >= 1440 || days.size > 1) Object.assign(format, { weekday: "short", day: "numeric" });
  if (minutes < 1440) Object.assign(format, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const text = new Intl.DateTimeFormat(document.documentElement.lang || "en", format);
  return dates.map((date) => text.format(date));
}

function days(rows) {
  const format = { timeZone: "UTC", day: "numeric", month: "short" };
  const text = new Intl.DateTimeFormat(document.documentElement.lang || "en", format);
  return rows.map((row) => text.format(new Date(`${row.day}T00:00Z`)));
}

const short = (title, length) => (title.length > length ? `${title.slice(0, length - 1)}…` : title);

const PICTURES = {
  statuses: ({ counts }) => ({
    type: "bar",
    data: {
      labels: [""],
      datasets: Object.entries(labels).map(([status, label]) => ({
        label,
        data: [counts[status]],
        backgroundColor: COLOURS[status],
        barThickness: 28,
      })),
    },
    options: {
      indexAxis: "y",
      scales: {
        x: { stacked: true, max: counts.expected || 1, display: false },
        y: { stacked: true, display: false },
      },
    },
  }),

  arrivals: ({ arrivals, minutes }, canvas) => ({
    type: "bar",
    data: {
      labels: moments(arrivals, minutes),
      datasets: [
        {
          type: "line",
          label: canvas.dataset.total,
          data: arrivals.map((bucket) => bucket.total),
          yAxisID: "total",
          borderColor: LINE,
          backgroundColor: LINE,
          borderWidth: 2,
          pointRadius: arrivals.length > 1 ? 0 : 3,
        },
        ...["present", "late"].map((status) => ({
          label: labels[status],
          data: arrivals.map((bucket) => bucket[status]),
          backgroundColor: COLOURS[status],
          stack: "arrivals",
        })),
      ],
    },
    options: {
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked: true, grid: { display: false }, ticks: { maxRotation: 0, autoSkipPadding: 16 } },
        y: { stacked: true, beginAtZero: true, ticks: { precision: 0 } },
        total: { position: "right", beginAtZero: true, ticks: { precision: 0 }, grid: { display: false } },
      },
    },
  }),

  rsvps: ({ rsvps }, canvas) => ({
    type: "bar",
    data: {
      labels: days(rsvps.rows),
      datasets: [
        {
          type: "line",
          label: canvas.dataset.total,
          data: rsvps.rows.map((one) => one.total),
          yAxisID: "total",
          borderColor: LINE,
          backgroundColor: LINE,
          borderWidth: 2,
          pointRadius: rsvps.rows.length > 1 ? 0 : 3,
        },
        { label: canvas.dataset.made, data: rsvps.rows.map((one) => one.made), backgroundColor: COLOURS.present },
        {
          label: canvas.dataset.cancelled,
          data: rsvps.rows.map((one) => one.cancelled),
          backgroundColor: COLOURS.absent,
        },
      ],
    },
    options: {
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { grid: { display: false }, ticks: { maxRotation: 0, autoSkipPadding: 16 } },
        y: { beginAtZero: true, ticks: { precision: 0 } },
        total: { position: "right", beginAtZero: true, ticks: { precision: 0 }, grid: { display: false } },
      },
    },
  }),

  fill: ({ fill }, canvas) => {
    canvas.parentElement.style.height = `${4 + 1.5 * fill.rows.length}rem`;
    const wide = page.clientWidth > 640 ? 40 : 16;
    return {
      type: "bar",
      data: {
        labels: fill.rows.map((one) => short(one.title, wide)),
        datasets: [
          {
            label: canvas.dataset.label,
            data: fill.rows.map((one) => Math.round(1000 * one.filled) / 10),
            backgroundColor: fill.rows.map((one) => (one.seats_taken >= one.capacity ? COLOURS.absent : COLOURS.present)),
            maxBarThickness: 18,
          },
        ],
      },
      options: {
        indexAxis: "y",
        plugins: { legend: { display: false } },
        scales: {
          x: { beginAtZero: true, max: 100, ticks: { callback: (value) => `${value} %` } },
          y: { grid: { display: false }, ticks: { autoSkip: false } },
        },
      },
    };
  },

  offers: ({ offers }) => ({
    type: "bar",
    data: {
      labels: [""],
      datasets: [...page.querySelectorAll("[data-offer]")].map(({ dataset }) => ({
        label: dataset.label,
        data: [offers.totals[dataset.offer]],
        backgroundColor: OFFERS[dataset.offer],
        barThickness: 28,
      })),
    },
    options: {
      indexAxis: "y",
      plugins: { legend: { display: false } }, // the table below has the colours
      scales: {
        x: { stacked: true, max: offers.totals.made, display: false },
        y: { stacked: true, display: false },
      },
    },
  }),

  feedback: ({ feedback }, canvas) => ({
    type: "bar",
    data: {
      labels: Object.keys(feedback.ratings),
      datasets: [
        {
          label: canvas.dataset.label,
          data: Object.values(feedback.ratings),
          backgroundColor: COLOURS.excused,
          maxBarThickness: 48,
        },
      ],
    },
    options: {
      scales: { x: { grid: { display: false } }, y: { beginAtZero: true, ticks: { precision: 0 } } },
      plugins: { legend: { display: false } },
    },
  }),

  events: ({ events }, canvas) => {
    const known = events.filter((one) => one.no_show_rate !== null).reverse();
    return {
      type: "bar",
      data: {
        labels: known.map((one) => short(one.title, 18)),
        datasets: [
          {
            label: canvas.dataset.label,
            data: known.map((one) => Math.round(1000 * one.no_show_rate) / 10),
            backgroundColor: COLOURS.absent,
            maxBarThickness: 40,
          },
        ],
      },
      options: {
        scales: {
          x: { grid: { display: false } },
          y: { beginAtZero: true, suggestedMax: 20, ticks: { callback: (value) => `${value} %` } },
        },
      },
    };
  },
};

function draw(figures) {
  const style = getComputedStyle(page);
  Chart.defaults.font.family = style.fontFamily;
  Chart.defaults.color = style.color;
  Chart.defaults.borderColor = "rgba(128, 128, 128, .25)";
  for (const canvas of page.querySelectorAll("[data-picture]")) {
    const { options, ...picture } = PICTURES[canvas.dataset.picture](figures, canvas);
    const plugins = { legend: { position: "bottom", labels: { boxWidth: 12, boxHeight: 12 } } };
    new Chart(canvas, { ...picture, options: { animation: false, maintainAspectRatio: false, plugins, ...options } });
  }
  page.dataset.drawn = "1";
}

fetch(page.dataset.source, { credentials: "same-origin" })
  .then((response) => response.json())
  .then(draw);
