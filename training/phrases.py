"""What people call each style. Some phrases are held out: they measure, and are never trained on.

A held-out phrase says in a new way what the trained ones say with the same words: a text tower that
starts from nothing cannot know words it never met.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """One style's phrases."""

    trained: tuple[str, ...]
    held_out: tuple[str, ...]


def _phrases(trained: str, held_out: str) -> Phrases:
    """Phrases separated by semicolons."""
    first, second = (
        tuple(" ".join(phrase.split()) for phrase in text.split(";"))
        for text in (trained, held_out)
    )
    return Phrases(first, second)


PHRASES: dict[str, Phrases] = {
    "cyberpunk": _phrases(
        """cyberpunk; futuristic neon city at night; glowing magenta and cyan lights;
        neon signs in the dark; blade runner; sci-fi megacity; dystopian future; synthwave;
        hologram billboards; purple neon glow; tokyo night lights; electric pink and turquoise;
        high tech low life; a futuristic tower with glowing windows; retrowave; hacker city;
        vaporwave; dark street with neon tubes; luminous windows at midnight; robots and holograms;
        ultraviolet night; science fiction metropolis; cyber city; laser lights; android district;
        fluorescent signs""",
        """futuristic city glowing with neon; a dystopian megacity at midnight;
        holograms over a dark street; synthwave tower in purple; sci-fi building with cyan lights;
        like blade runner; pink neon signs at night; high tech metropolis of the future;
        cyber district with laser signs; electric magenta glow in the dark; a retrowave house;
        science fiction tower with luminous neon""",
    ),
    "ghibli": _phrases(
        """ghibli; hand painted anime countryside; lush green summer meadow; studio ghibli;
        miyazaki; japanese animation; cosy cottage in the fields; totoro; anime background art;
        cheerful cartoon village; idyllic meadow under a blue sky; storybook house;
        fairy tale cottage with a red roof; bright summer day; whimsical; rural idyll;
        green grass and fluffy clouds; howl's moving castle; spirited away; cel animation;
        children's book illustration; a happy country home; fresh spring meadow; pastoral;
        manga landscape; friendly painted farm""",
        """an anime house in a green meadow; miyazaki style cottage;
        a storybook village in summer; cheerful animation background; fairy tale home with grass;
        fluffy clouds over a pastoral farm; cartoon cottage on a bright day; totoro's country house;
        whimsical japanese animation; lush countryside in spring; idyllic green fields;
        children's storybook cottage""",
    ),
    "industrial": _phrases(
        """industrial; red brick factory with steel frames; victorian warehouse; old mill;
        manchester cotton mill; loft in a former factory; brick and iron; smoky workshop;
        rusty steel and bricks; nineteenth century works; foundry; brewery; power plant;
        exposed brickwork; railway depot; manufacturing hall; soot and coal; docklands warehouse;
        brick chimney; steam age; engine shed; iron girders; converted warehouse; urban loft;
        brown brick masonry; machine hall""",
        """an old brick warehouse; former factory with iron girders; rusty mill;
        a foundry of the steam age; victorian brick works; loft with exposed bricks;
        coal and soot on brickwork; a converted mill in the docklands; steel and brick hall;
        a smoky brewery; machine workshop in red brick; industrial depot""",
    ),
    "pencil": _phrases(
        """pencil; graphite drawing with hatching; grey hand drawn shading on paper; pencil sketch;
        charcoal; monochrome drawing; black and white study; sketchbook page; cross hatching;
        shaded with a soft pencil; architect's freehand drawing; graphite on white paper;
        hand sketch; drawn in lead; greyscale illustration; etching; ink and pencil study;
        rough hand drawing; engraving; uncoloured sketch; draughtsman's shading; crayon hatch;
        artist's notebook; line drawing with grey tones; traditional drawing; fine hatched lines""",
        """a graphite sketch; hatched drawing in black and white; charcoal shading on paper;
        a page of an artist's sketchbook; freehand pencil study; soft lead drawing;
        monochrome sketch with cross hatching; an old engraving; greyscale hand drawing;
        uncoloured line drawing; sketched by hand in graphite; grey pencil tones""",
    ),
    "scandinavian": _phrases(
        """scandinavian; white timber nordic house; minimal bright wooden cabin; hygge; swedish;
        norwegian; danish design; finnish cabin; clean white walls and pale wood; light minimalism;
        airy and simple; nordic modern; copenhagen; stockholm; oslo; white boards and birch wood;
        calm bright home; functional and minimal; ikea; light pine timber; white and beige;
        simple modern villa in daylight; uncluttered; lagom; whitewashed wood; northern light""",
        """a nordic cabin of pale wood; minimalism from sweden in white timber; danish modern home;
        bright and airy wooden house; hygge house with white walls; simple swedish villa;
        clean nordic design; a calm minimal norwegian home; birch and white boards;
        light finnish timber house; an uncluttered bright white villa; copenhagen minimalism""",
    ),
    "brutalist": _phrases(
        """brutalist; raw concrete monolith; massive grey cement block architecture; brutalism;
        beton brut; exposed concrete; le corbusier; soviet housing block; heavy concrete slabs;
        bunker; monumental grey mass; council estate tower; stained concrete facade;
        cast concrete; communist era architecture; stark and massive; barbican; concrete fortress;
        rough cement; nineteen sixties concrete; bare grey walls; megastructure; plattenbau;
        monolithic; grim grey block; shuttered concrete""",
        """a massive concrete block; brutalism in grey; raw cement fortress;
        a soviet concrete tower; monumental bunker; exposed beton brut walls;
        heavy monolithic slabs; like the barbican; stark concrete megastructure;
        a grim council estate; stained cement facade; le corbusier's rough concrete""",
    ),
    "art deco": _phrases(
        """art deco; golden twenties ornament; black and gold luxury hotel; great gatsby;
        roaring twenties; chrysler building; miami beach hotel; jazz age; gilded geometric patterns;
        glamorous theatre; elegant gold trim; nineteen thirties cinema; ocean liner elegance;
        opulent lobby; streamline; gold and teal; luxurious ballroom; sunburst ornament; deco;
        cocktail bar glamour; brass and marble; vintage luxury; black marble and gold leaf;
        empire state building; chic metropolitan hotel; decorative geometric""",
        """a gatsby hotel with gold ornament; roaring twenties glamour; a deco cinema;
        jazz age luxury; black and gold geometric theatre; gilded ballroom; gold leaf and marble;
        elegant hotel of the thirties with brass; opulent sunburst patterns;
        like the chrysler building; vintage glamour in gold; a chic deco hotel""",
    ),
    "blueprint": _phrases(
        """blueprint; white lines on blue technical plan; cyanotype construction drawing;
        technical drawing; engineering plan; architect's plan in blue; drafting sheet; cad drawing;
        white on blue; construction document; elevation drawing; blue print paper with a grid;
        schematic; diazo copy; working drawing; technical elevation; blue schematic with white ink;
        draftsman's plan; engineering schematic; gridded plan; prussian blue; survey drawing;
        wireframe plan; design document; line plan; technical schematic""",
        """a technical plan with white lines; blue engineering drawing; cyanotype of a house;
        construction plan on a grid; drafting in white on blue; cad elevation;
        an engineer's schematic; white ink on blueprint paper; a working plan for construction;
        technical wireframe; blue gridded document; draftsman's elevation""",
    ),
    "watercolour": _phrases(
        """watercolour; loose wet paint washes; soft pastel aquarelle; watercolor painting;
        delicate washes; painted with a wet brush; pale transparent colours; aquarelle on paper;
        soft bleeding pigments; light pink and blue tints; dreamy pastel; gouache; impressionist;
        gentle brush strokes; diluted paint; artist's watercolours; pastel washes; faded soft hues;
        airy painting; wet on wet; romantic pale painting; blotted colour; washed out tints;
        soft painted illustration; painterly pastel; tinted paper""",
        """a watercolor of a house; pastel washes on paper; an aquarelle with soft tints;
        delicate wet brush painting; dreamy pale colours; painted in diluted pigments;
        impressionist pastel painting; loose washes of pink and blue tints;
        gentle watercolours; wet on wet aquarelle; soft hues with a brush; transparent washes""",
    ),
    "winter": _phrases(
        """winter; snow covered house at christmas; cold icy january evening; snowy; snowfall;
        frost; blizzard; december night with warm windows; frozen landscape; ice and snow;
        christmas card; snowflakes; ski chalet; alpine snow; white christmas; arctic; cold season;
        snowed in; icicles; lapland; new year's eve snow; santa; frosty village; sleigh;
        freezing cold; february snowstorm""",
        """a house in the snow; christmas in a frosty village; heavy snowfall in january;
        an alpine chalet with icicles; frozen december evening; blizzard and ice;
        snowflakes on a cold night; arctic winter; snowed in at christmas; a snowy lapland home;
        freezing snowstorm; white frost and warm windows in december""",
    ),
    "desert": _phrases(
        """desert; adobe clay house in the sahara; dry sand dunes and mud brick; arizona; pueblo;
        moroccan kasbah; santa fe; mud brick village; sandstone; oasis; arid; new mexico;
        terracotta walls; hot and dry; sandy landscape; clay architecture; cactus; marrakech;
        egyptian; rammed earth; sun baked adobe; ochre walls; dusty canyon; camel caravan;
        sand coloured; mojave""",
        """an adobe house among dunes; moroccan clay walls; a pueblo in arizona;
        sun baked mud brick; dusty sahara village; sandstone kasbah; a hot oasis;
        terracotta and sand; arid canyon with cactus; santa fe adobe; rammed earth in dry sand;
        ochre clay in the desert""",
    ),
    "sunset": _phrases(
        """sunset; golden hour with long shadows; orange dusk and violet clouds; evening glow; dusk;
        twilight; last light of the day; burning orange sky; sundown; warm evening light;
        afterglow; purple and orange horizon; romantic evening; crimson sky; nightfall; dawn;
        the sun goes down; amber light; setting sun; violet twilight; end of the day; red sky;
        late evening; silhouette against the sky; vivid sky in orange; gloaming""",
        """a house at golden hour; violet dusk; orange sky at sundown; warm twilight glow;
        the last light of the setting sun; purple evening clouds; nightfall in amber;
        crimson horizon at the end of the day; romantic afterglow; evening with a burning sky;
        dusk in orange and violet; as the sun goes down""",
    ),
}
