// What a page gains where scripts run: a countdown that goes on, and no second click. Everything works without.
for (const time of document.querySelectorAll('time[data-left]')) {
  // By what the server said was left: this machine's clock may be wrong.
  const until = Date.now() + Number(time.dataset.left);
  const tell = () => {
    const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
    const parts =
      hours > 0 ? [`${hours} h`, `${minutes} min`] : [`${minutes} min`, `${seconds % 60} s`];
    time.textContent = seconds === 0 ? 'time is over' : `${parts.join(' ')} left`;
  };
  tell();
  setInterval(tell, 1000);
}
for (const form of document.querySelectorAll('form[data-once]')) {
  form.addEventListener('submit', () => {
    for (const button of document.querySelectorAll('button')) button.disabled = true;
  });
}
