"""Made-up people. First and last names are combined at random within a culture; nobody real is meant."""

CULTURES = (
    ("Abena Kofi Esi Kwabena Adwoa Yaw Akosua Nana", "Asantewaa-Bell Boatengwa Nkrumahene Owusu-Ray Darkwahu"),
    ("Aylin Emre Defne Kerem Elif Barış Selin Deniz", "Yıldızoğlu Karataşlı Demirkent Aydınbey Çelikova"),
    ("Beatriz Thiago Mariana Caio Larissa João Luana Davi", "Azevedinho Figueirosa Montenegrense Peçanheira Sabóia"),
    ("Camille Étienne Maëlle Théo Zoé Loïc Anaïs Rémi", "Beaurivage Delacombe Marchandeau Thévenelle Vauquelier"),
    ("Dalia Youssef Nour Karim Salma Tariq Leïla Anwar", "Benmansouri Al-Khatibi Haddadine Zerhouni El-Amrawi"),
    ("Eirik Solveig Magnus Ingrid Lars Astrid Sindre Liv", "Fjellheimsen Bakkerud Sørlandsen Havnvik Ødegårdsen"),
    ("Ewa Piotr Zofia Krzysztof Małgorzata Łukasz Agnieszka Jan", "Wąsowiczek Brzezińczuk Śliwowska Gołębiak Żurawek"),
    ("Giulia Matteo Chiara Davide Elisa Nicolò Marta Luca", "Bellacosta D’Aurelia Montefalcone Roccaverde Sanfiorini"),
    ("Hina Ren Aoi Haruto Sakura Daichi Mio Sora", "Asakurano Fujihama Kiritani Minasegawa Tachibanaka"),
    ("Hoa Minh Lan Quang Thảo Đức Ngọc Phúc", "Nguyễn-Vale Trầnwood Phạmsen Hoàngston Đỗberg"),
    ("Imani Baraka Zuri Juma Neema Otieno Wambui Kamau", "Kipruthi Mwangale Odhiambi Wanjikuru Achiengo"),
    (
        "Jasper Freya Rowan Imogen Callum Maeve Alistair Niamh",
        "Ashdownley Blackthwaite O’Shaughnessy-Reed Penhallowick McTavery",
    ),
    ("Kavya Arjun Meera Rohan Ananya Dev Ishani Nikhil", "Chandrapuri Iyerson Mukherjeewala Rathodkar Subramania"),
    (
        "Lena Jonas Mareike Till Anneliese Jürgen Käthe Moritz",
        "Grünwalder Hülsmannek Köhlerbach Weißenfelsen Überschaar",
    ),
    (
        "Lupita Diego Ximena Joaquín Valentina Nahuel Inés Mateo",
        "Aguirrezabal Cienfuegosa Huertalobo Ñancuvilú Zaratezuma",
    ),
    ("Mihaela Andrei Ioana Radu Ștefan Ana Vlad Ilinca", "Brândușescu Codreanescu Lupășteanu Țurcanuș Vlădoianu"),
    ("Moana Tāne Aroha Nikau Sefina Tevita Leilani Manu", "Fonotiale Kahurangi-West Parataiwa Tuilagisa Waitokia"),
    (
        "Nadia Ruslan Olena Taras Iryna Bohdan Daryna Marko",
        "Chornovolenko Hrytsaiuk Kovalenchuk Shevchukiv Zhuravelska",
    ),
    ("Seo-yeon Min-jun Ha-eun Ji-ho Da-in Hyun-woo Yu-na Tae-min", "Baekwon Hwangdo Kimsong Namkyung Ryuhan"),
    (
        "Tamar Giorgi Nino Levan Salome Irakli Keti Luka",
        "Beridzeli Chavchashvili Kapanadzeni Lomidzashvili Tsereteliani",
    ),
)

UNUSUAL = (
    # Names that pages and exports must bear: (first, last).
    ("Maximiliane Wilhelmina Theodora", "von Hohenlinden-Sternbergens"),  # 60 characters with its blank
    ("ليلى", "المنصوري"),
    ("נועם", "בן־הרים"),
    ("若葉", "星野川"),
    ("晓雯", "欧阳林"),
    ("서윤", "한가람"),
    ("Siobhán", "O'Dubhghaillín"),
    ("Madonnina", ""),
    ("Ярослава", "Вербицкая-Лис"),
    ("Ελευθερία", "Καλογεράκη"),
)

MAIL_DOMAINS = ("mail.example", "post.example", "studio.example", "quay.example")
