/** One tab: what it loads, complains about and shows. */
import type { Browser } from './browser.ts';

/** How the tab looks. */
export interface Look {
  readonly scheme: 'light' | 'dark';
  readonly width: number;
  readonly height: number;
}

/** See the file's head. */
export class Tab {
  /** Addresses of everything that was asked for. */
  readonly requests: string[] = [];
  /** Errors of scripts, messages of the console, what the policy of the page has stopped. */
  readonly complaints: string[] = [];
  readonly #browser: Browser;
  readonly #session: string;

  private constructor(browser: Browser, session: string) {
    this.#browser = browser;
    this.#session = session;
    browser.listen(({ method, params, sessionId }) => {
      if (sessionId !== session) return;
      const found = params as Record<string, { url?: string; text?: string; source?: string } | undefined>;
      if (method === 'Network.requestWillBeSent') this.requests.push(String(found.request?.url));
      // a daemon that is gone is one of the tests
      else if (method === 'Log.entryAdded' && found.entry?.source !== 'network')
        this.complaints.push(String(found.entry?.text));
      else if (method === 'Runtime.exceptionThrown') this.complaints.push(JSON.stringify(params));
      else if (method === 'Runtime.consoleAPICalled') this.complaints.push(JSON.stringify(params.args));
      else if (method === 'Page.javascriptDialogOpening') this.complaints.push('a dialog');
    });
  }

  static async open(browser: Browser): Promise<Tab> {
    const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await browser.send('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab(browser, String(sessionId));
    for (const domain of ['Page', 'Runtime', 'Network', 'Log', 'DOM', 'Accessibility'])
      await tab.send(`${domain}.enable`);
    return tab;
  }

  send(method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    return this.#browser.send(method, params, this.#session);
  }

  async look({ scheme, width, height }: Look): Promise<void> {
    await this.send('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    await this.send('Emulation.setEmulatedMedia', {
      features: [{ name: 'prefers-color-scheme', value: scheme }],
    });
  }

  async go(url: string): Promise<void> {
    await this.send('Page.navigate', { url });
    await this.until(`document.readyState === 'complete' && location.href !== 'about:blank'`);
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const answer = (await this.send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })) as { result: { value: T }; exceptionDetails?: unknown };
    if (answer.exceptionDetails !== undefined)
      throw new Error(`${expression}: ${JSON.stringify(answer.exceptionDetails)}`);
    return answer.result.value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string, withinMs = 30_000): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (!(await this.evaluate<boolean>(`Boolean(${expression})`).catch(() => false))) {
      if (Date.now() > deadline)
        throw new Error(
          `not true in time: ${expression}; the page shows:\n${await this.evaluate<string>('document.body.innerText')}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async press(key: 'Tab' | 'Enter' | ' '): Promise<void> {
    const text = key === 'Enter' ? '\r' : key === ' ' ? ' ' : undefined;
    const code = { Tab: 9, Enter: 13, ' ': 32 }[key];
    const what = { key, windowsVirtualKeyCode: code, ...(text !== undefined && { text }) };
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...what });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', key, windowsVirtualKeyCode: code });
  }

  type(text: string): Promise<unknown> {
    return this.send('Input.insertText', { text });
  }

  /** PNG of what is in sight, or of the whole page. */
  async picture(isWhole = false): Promise<Buffer> {
    const { data } = await this.send('Page.captureScreenshot', {
      format: 'png',
      captureBeyondViewport: isWhole,
    });
    return Buffer.from(String(data), 'base64');
  }
}
